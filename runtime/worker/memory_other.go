//go:build !linux

package worker

// FreeMemory is not known here.
func FreeMemory() uint64 { return 0 }

// capMemory does nothing here: the limit that it sets has no effect on systems
// other than Linux.
func capMemory() (lift func(), err error) { return func() {}, nil }

// offerToOOMKiller has nothing to ask here.
func offerToOOMKiller() error { return nil }
