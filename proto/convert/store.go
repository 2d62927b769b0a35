package convert

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// Encode is the form of a state on disk: equal states give equal bytes. It
// fails only for text that is not UTF-8, which neither gRPC nor Parse lets in.
func Encode(s *greavev1.HostState) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return b, nil
}

// Decode reads what Encode wrote. Fields of a later version are kept; FromWire
// refuses them.
func Decode(b []byte) (*greavev1.HostState, error) {
	s := &greavev1.HostState{}
	if err := proto.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("decode state: %w", err)
	}
	return s, nil
}
