package client

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"hyprstream/errs"
)

func TestRecord(t *testing.T) {
	dir := t.TempDir()
	if _, ok := Running(dir); ok {
		t.Error("nothing runs there")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := Record{PID: os.Getpid(), Flight: l.Addr().String(), HTTP: "127.0.0.1:1"}
	if err := WriteRecord(dir, rec); err != nil {
		t.Fatal(err)
	}
	if got, ok := Running(dir); !ok || got != rec {
		t.Error(got, ok)
	}
	l.Close()
	if _, ok := Running(dir); ok {
		t.Error("nobody listens any more")
	}
	RemoveRecord(dir, rec.PID+1) // another server's record stays
	if _, ok := readRecord(dir); !ok {
		t.Error("the record is gone")
	}
	RemoveRecord(dir, rec.PID)
	if _, ok := readRecord(dir); ok {
		t.Error("the record is still there")
	}
	if err := os.WriteFile(filepath.Join(dir, "server.json"), []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := Running(dir); ok {
		t.Error("a damaged record is none")
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8815": true, "grpc://localhost:8815": true, "grpc+tls://[::1]:8815": true,
		"192.0.2.1:8815": false, "db.example:8815": false,
	} {
		if isLoopback(address) != want {
			t.Errorf("isLoopback(%q) = %v", address, !want)
		}
	}
	for _, bad := range []string{"127.0.0.1", "http://127.0.0.1:8080", "", "grpc://host"} {
		if _, err := dial(context.Background(), endpoint{address: bad}, ""); errs.CodeOf(err) != errs.InvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := dial(context.Background(), endpoint{address: "192.0.2.1:8815"}, "secret"); errs.CodeOf(err) != errs.PermissionDenied {
		t.Error("a token in the clear:", err)
	}
}

func TestParameters(t *testing.T) {
	rec, err := parameters([]any{nil, "s", true, int64(7), 1.5})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	want := []arrow.Type{arrow.NULL, arrow.STRING, arrow.BOOL, arrow.INT64, arrow.FLOAT64}
	for i, f := range rec.Schema().Fields() {
		if f.Type.ID() != want[i] {
			t.Errorf("parameter %d is %s", i, f.Type)
		}
	}
	if _, err := parameters([]any{struct{}{}}); err == nil {
		t.Error("a struct cannot be sent")
	}
}
