package client

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"hyprstream/errs"
)

// Record is DIR/server.json: the server that holds a data directory.
type Record struct {
	PID    int    `json:"pid"`
	Flight string `json:"flight"` // host:port
	HTTP   string `json:"http"`   // host:port
	TLS    bool   `json:"tls,omitempty"`
	Cert   string `json:"cert,omitempty"` // the certificate's file, for clients on this machine
}

func recordPath(dir string) string { return filepath.Join(dir, "server.json") }

// WriteRecord leaves rec in dir, all or nothing.
func WriteRecord(dir string, rec Record) error {
	text, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return errs.Wrap(err, errs.Internal, "serve", "the server's record cannot be written")
	}
	tmp := recordPath(dir) + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return errs.Wrap(err, errs.PermissionDenied, "serve", "the data directory cannot be written")
	}
	if err := os.Rename(tmp, recordPath(dir)); err != nil {
		return errs.Wrap(err, errs.PermissionDenied, "serve", "the data directory cannot be written")
	}
	return nil
}

// RemoveRecord takes the record away if it is still pid's.
func RemoveRecord(dir string, pid int) {
	if rec, ok := readRecord(dir); ok && rec.PID == pid {
		_ = os.Remove(recordPath(dir)) // a record that stays is found dead by Running
	}
}

func readRecord(dir string) (Record, bool) {
	var rec Record
	text, err := os.ReadFile(recordPath(dir))
	if err != nil || json.Unmarshal(text, &rec) != nil || rec.Flight == "" {
		return Record{}, false
	}
	return rec, true
}

// Running finds the live server of dir. A record left by a killed server does
// not count: its process is gone, or nothing listens.
func Running(dir string) (Record, bool) {
	rec, ok := readRecord(dir)
	if !ok {
		return rec, false
	}
	if err := syscall.Kill(rec.PID, 0); err == syscall.ESRCH { //nolint:errorlint // an errno, never wrapped
		return rec, false
	}
	conn, err := net.DialTimeout("tcp", rec.Flight, time.Second)
	if err != nil {
		return rec, false
	}
	_ = conn.Close()
	return rec, true
}

// isLoopback says whether an address is on this machine.
func isLoopback(address string) bool {
	_, hostport := splitScheme(address)
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
