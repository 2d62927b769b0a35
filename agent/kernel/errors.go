package kernel

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

// Reasons of errors.
const (
	ReasonDriverMissing = "DRIVER_MISSING"
	ReasonExists        = "EXISTS"
	ReasonDenied        = "DENIED"
	ReasonGone          = "GONE"
	ReasonBusy          = "BUSY"
	ReasonRefused       = "REFUSED" // anything else that the kernel says
)

// Error is what the kernel refused.
type Error struct {
	Op      string // "create link gre-7"
	Errno   unix.Errno
	Reason  string
	Message string // for people; with the kernel's own words where it gave some
	Remedy  string // what to do; may be empty
}

func (e *Error) Error() string {
	text := e.Op + ": " + e.Message
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

func (e *Error) Unwrap() error { return e.Errno }

// IsDriverMissing tells whether the kernel lacks the driver of what was asked for.
func IsDriverMissing(err error) bool { return hasReason(err, ReasonDriverMissing) }

// IsExists tells whether something of that name or key is there already.
func IsExists(err error) bool { return hasReason(err, ReasonExists) }

// IsGone tells whether what the call was about, or its device, is not there.
func IsGone(err error) bool { return hasReason(err, ReasonGone) }

// IsDenied tells whether a capability lacks.
func IsDenied(err error) bool { return hasReason(err, ReasonDenied) }

func hasReason(err error, reason string) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == reason
}

// newError makes an Error of one of package nl's, which is an errno, or one with the kernel's
// words behind it. Other errors (of the socket's) pass with the operation in front.
func newError(op string, err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("%s: %w", op, err)
	}
	e := &Error{Op: op, Errno: errno, Reason: ReasonRefused, Message: errno.Error()}
	switch errno {
	case unix.EEXIST, unix.EALREADY, unix.EADDRINUSE: // the last two of a FOU port
		e.Reason, e.Message = ReasonExists, "it exists already"
	case unix.ENODEV, unix.ESRCH, unix.ENOENT, unix.EADDRNOTAVAIL, unix.ENXIO:
		e.Reason, e.Message = ReasonGone, "it is not there, or its device is not"
	case unix.EPERM, unix.EACCES:
		e.Reason, e.Message, e.Remedy = ReasonDenied, "permission denied", "greaved needs CAP_NET_ADMIN"
	case unix.EBUSY:
		e.Reason, e.Message = ReasonBusy, "it is in use"
	case unix.EAGAIN:
		e.Message = "the kernel did not answer in time"
	}
	if words := strings.TrimPrefix(err.Error(), errno.Error()); words != "" {
		e.Message += " (kernel: " + strings.TrimPrefix(words, ": ") + ")"
	}
	return e
}

// driverError says of a link that could not be made for want of a driver which one it is.
// The kernel says EOPNOTSUPP for a kind that it does not know and cannot load, and for attributes that
// a driver cannot do: only its words tell the two apart.
func driverError(err error, kind rows.Kind) error {
	var e *Error
	if !errors.As(err, &e) || e.Errno != unix.EOPNOTSUPP || !strings.Contains(e.Message, "Unknown device type") {
		return err
	}
	return missingDriver(e.Op, e.Errno, kind.Name+" links", kind.Module)
}

func missingDriver(op string, errno unix.Errno, what, module string) error {
	return &Error{Op: op, Errno: errno, Reason: ReasonDriverMissing,
		Message: "the kernel has no driver for " + what, Remedy: "load it with modprobe " + module}
}

// namespaceError is of entering a namespace.
func namespaceError(name string, err error) error {
	err = newError("enter network namespace "+name, err)
	var e *Error
	if errors.As(err, &e) && e.Reason == ReasonDenied {
		e.Remedy = "greaved needs CAP_SYS_ADMIN for other namespaces than its own"
	}
	return err
}
