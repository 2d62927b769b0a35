// Package convert turns the wire form of a state, greave.v1.HostState, into the
// model and back, reads and writes it as YAML, and merges two of them. It knows
// which fields and values of the API are not built yet, and refuses those by
// their path. It decides nothing about the host: that is the model's. It must
// not import anything of agent or cmd.
package convert
