package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

func writeJSON(path string, figures []figure) error {
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

const (
	beginMark = "<!-- begin figures, generated -->\n"
	endMark   = "<!-- end figures -->\n"
)

// writePage puts the figures between the markers of a page.
func writePage(path string, figures []figure) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	page, err := render(string(old), machine(), figures)
	if err != nil {
		return fmt.Errorf("write page %s: %w", path, err)
	}
	return os.WriteFile(path, []byte(page), 0o644)
}

func render(old, on string, figures []figure) (string, error) {
	before, rest, ok := strings.Cut(old, beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return "", fmt.Errorf("it has no %q and %q", strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	var b strings.Builder
	b.WriteString(before + beginMark + on + "\n\n| what | greave | rival | ratio | goal | met |\n|---|---|---|---|---|---|\n")
	for _, f := range figures {
		met := ""
		if f.Goal != "" {
			met = map[bool]string{true: "yes", false: "**no**"}[f.Met]
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s: %s %s | %s | %s | %s |\n", f.Name, digits(f.Value), f.Unit, f.Rival, digits(f.RivalValue), f.Unit, digits(f.Ratio), f.Goal, met)
	}
	return b.String() + endMark + after, nil
}

// machine says on what kind of machine the figures were taken.
func machine() string {
	version := "unknown version"
	if out, err := exec.Command("ovs-vswitchd", "--version").Output(); err == nil { //nolint:noctx // it answers at once
		first, _, _ := strings.Cut(string(out), "\n")
		version = first[strings.LastIndex(first, " ")+1:]
	}
	return fmt.Sprintf("%d cores of %s, Open vSwitch %s, userspace datapath, %s.", runtime.NumCPU(), runtime.GOARCH, version, runtime.Version())
}
