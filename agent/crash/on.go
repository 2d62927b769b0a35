//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

var (
	mu     sync.Mutex
	passed = map[string]int{}
)

// At is a point.
func At(name string) {
	mu.Lock()
	defer mu.Unlock()
	passed[name]++
	point := fmt.Sprintf("%s:%d", name, passed[name])
	if file := os.Getenv("GREAVE_CRASH_LOG"); file != "" {
		if f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, point)
			f.Close()
		}
	}
	if os.Getenv("GREAVE_CRASH_AT") == point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
}
