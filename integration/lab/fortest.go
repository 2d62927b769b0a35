package lab

import "testing"

// Require skips a test, with the reason, where a lab cannot run and under -short.
func Require(t testing.TB) { require(t, Options{}) }

func require(t testing.TB, opts Options) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs namespaces and Open vSwitch: left out by -short")
	}
	if why := opts.Missing(); why != "" {
		t.Skip(why)
	}
}

// ForTest starts a lab for one test and closes it at the test's end. It skips as Require does. A
// test that failed gets the daemons' last lines.
func ForTest(t testing.TB, opts Options) *Lab {
	t.Helper()
	require(t, opts)
	l, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("ends of the logs:\n" + l.Logs(15))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
