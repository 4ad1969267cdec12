package storage

import "syscall"

// changeTime is when a file's bytes, name or attributes last changed, in nanoseconds.
func changeTime(st *syscall.Stat_t) int64 { return st.Ctim.Nano() }
