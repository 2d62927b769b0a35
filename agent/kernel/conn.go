package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

const (
	netnsDir = "/run/netns"
	// patience is the longest wait for an answer of the kernel's. It answers in microseconds, unless
	// something long holds the lock of rtnetlink: the end of a namespace with thousands of devices.
	patience = 5 * time.Second
	// dumps is how often a dump that changed under the kernel's hands is asked for again.
	dumps = 10
)

// Host reads and writes the kernel's tables. Its methods may be used by several goroutines.
type Host struct {
	mu       sync.Mutex
	spaces   map[string]*space // by name; "": greaved's own
	home     netns.NsHandle    // own namespace, where it is not that of the process
	interest atomic.Pointer[interest]
	changed  chan struct{} // the namespaces of interest may be others now
	// eventBuffer is other than the usual one in tests.
	eventBuffer int
	// subscribed is told the file of each subscription in tests.
	subscribed func(fd int)
}

// NewHost returns a host that is not connected yet; what is needed is opened by need.
func NewHost() *Host {
	return &Host{spaces: map[string]*space{}, home: netns.None(), changed: make(chan struct{}, 1)}
}

// Close closes all sockets.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, s := range h.spaces {
		s.close()
		delete(h.spaces, name)
	}
}

// identity tells a namespace from another one that has its name later.
type identity struct{ dev, inode uint64 }

func identify(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, err
	}
	return identity{st.Dev, st.Ino}, nil
}

func netnsPath(name string) string { return filepath.Join(netnsDir, name) }

// space is a network namespace with a socket a protocol.
type space struct {
	name    string
	id      identity
	home    netns.NsHandle // of the own namespace, where that is not the process's
	sockets map[int]*socket
	index   map[string]int // devices, by name, as far as they were read or looked up
}

// space returns a namespace; an error that is os.ErrNotExist means that there is none of that name.
func (h *Host) space(name string) (*space, error) {
	s := h.spaces[name]
	if name == "" && s != nil {
		return s, nil
	}
	var id identity
	if name != "" {
		var err error
		if id, err = identify(netnsPath(name)); err != nil {
			h.forget(name)
			return nil, namespaceError(name, err)
		}
		if s != nil && s.id == id {
			return s, nil
		}
		h.forget(name)
	}
	s = &space{name: name, id: id, home: h.home, sockets: map[int]*socket{}, index: map[string]int{}}
	err := h.inside(name, func() error {
		return errors.Join(s.open(unix.NETLINK_ROUTE), s.open(unix.NETLINK_GENERIC))
	})
	if err != nil {
		s.close()
		return nil, err
	}
	h.spaces[name] = s
	return s, nil
}

// handle returns a descriptor of the namespace, which the caller closes.
func (s *space) handle() (netns.NsHandle, error) {
	switch {
	case s.name != "":
		return netns.GetFromName(s.name)
	case s.home.IsOpen():
		fd, err := unix.Dup(int(s.home))
		return netns.NsHandle(fd), err
	}
	return netns.GetFromPid(os.Getpid())
}

// forget closes the sockets of a namespace: an open one keeps a namespace alive, with all its
// devices, that somebody has deleted.
func (h *Host) forget(name string) {
	if s := h.spaces[name]; s != nil {
		s.close()
		delete(h.spaces, name)
	}
}

func (s *space) open(protocol int) error {
	sock, err := openSocket(protocol)
	if err == nil {
		s.sockets[protocol] = sock
	}
	return err
}

func (s *space) close() {
	for _, sock := range s.sockets {
		sock.close()
	}
}

// inside runs f in a namespace: sockets that it opens are that namespace's for good. It runs on a
// thread of its own, which ends with it when it cannot go back.
func (h *Host) inside(name string, f func() error) error {
	if name == "" && !h.home.IsOpen() {
		return f()
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err, home := h.visit(name, f)
		if home {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// visit is inside on a locked thread, and says whether that is home again.
func (h *Host) visit(name string, f func() error) (err error, home bool) {
	from, err := netns.Get()
	if err != nil {
		return namespaceError(name, err), true
	}
	defer func() { _ = from.Close() }()
	to := h.home
	if name != "" {
		if to, err = netns.GetFromName(name); err != nil {
			return namespaceError(name, err), true
		}
		defer func() { _ = to.Close() }()
	}
	if err := netns.Set(to); err != nil {
		return namespaceError(name, err), true
	}
	err = f()
	return err, netns.Set(from) == nil
}

// call is one request and its answer. Dumps are asked for again while they are torn.
func (s *space) call(ctx context.Context, protocol int, op string, typ, flags int, payload []byte) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for range dumps {
		answer, torn, err := s.sockets[protocol].exchange(ctx, typ, flags, payload)
		if err != nil {
			return nil, newError(op, err)
		}
		if !torn {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("%s: the table changed during each of %d readings", op, dumps)
}

// route is a request of rtnetlink.
func (s *space) route(ctx context.Context, op string, typ, flags int, payload []byte) ([][]byte, error) {
	return s.call(ctx, unix.NETLINK_ROUTE, op, typ, flags, payload)
}

// change is a request of rtnetlink that wants no more than an acknowledgement.
func (s *space) change(ctx context.Context, op string, typ, flags int, payload []byte) error {
	_, err := s.route(ctx, op, typ, flags|unix.NLM_F_ACK, payload)
	return err
}

// device returns the index of a device, which the last reading knew or the kernel is asked for.
func (s *space) device(ctx context.Context, name string) (int, error) {
	if i, ok := s.index[name]; ok {
		return i, nil
	}
	var m message
	m.header(ifinfo{})
	m.text(unix.IFLA_IFNAME, name)
	m.u32(unix.IFLA_EXT_MASK, extSkipStats)
	answer, err := s.route(ctx, "find device "+name, unix.RTM_GETLINK, 0, m)
	if err != nil {
		return 0, err
	}
	for _, b := range answer {
		if i := parseIfinfo(b); i.index != 0 {
			s.index[name] = int(i.index)
			return int(i.index), nil
		}
	}
	return 0, newError("find device "+name, unix.ENODEV)
}

// noNamespace tells whether err says that there is no such namespace.
func noNamespace(err error) bool { return errors.Is(err, os.ErrNotExist) }

// opText names an operation on a row.
func opText(verb string, k rows.Key) string { return verb + " " + k.String() }
