//go:build !crashpoints

// Package crash names the moments at which greaved may be killed with the worst
// effect: between the steps of keeping a document and of changing the host. In
// an ordinary build a point is nothing; built with the tag crashpoints, greaved
// can be told by its environment to end at one, as kill -9 would end it:
//
//	GREAVE_CRASH_LOG=FILE     append a line "NAME:N" for the Nth time that a point is passed
//	GREAVE_CRASH_AT=NAME:N    end there
//
// It imports nothing of greave.
package crash

// At is a point.
func At(string) {}
