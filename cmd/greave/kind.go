package main

import (
	"fmt"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const kindChoices = "vtep, peer, segment, bridge, port, fdb, tunnel, mirror or sampler"

// kindWords are the names of kinds, for completion.
func kindWords() []string {
	var words []string
	values := greavev1.ObjectKind(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		words = append(words, word(greavev1.ObjectKind(values.Get(i).Number())))
	}
	return words
}

// parseKind reads the name of a kind, singular or plural.
func parseKind(s string) (greavev1.ObjectKind, error) {
	values := greavev1.ObjectKind(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		kind := greavev1.ObjectKind(values.Get(i).Number())
		if w := word(kind); s == w || s == w+"s" {
			return kind, nil
		}
	}
	return 0, fmt.Errorf("kind %q is not known: say %s", s, kindChoices)
}
