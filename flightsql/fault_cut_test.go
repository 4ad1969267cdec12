package flightsql_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/flightsql"
)

// cutConn is reset once so many bytes have been written to it: in the middle of
// a handshake, of a frame, of a message.
type cutConn struct {
	*net.TCPConn
	left *atomic.Int64
}

var errCut = errors.New("the connection was cut")

func (c *cutConn) Write(b []byte) (int, error) {
	n := int64(len(b))
	if left := c.left.Add(-n); left < 0 {
		n = max(0, n+left)
	}
	written, err := c.TCPConn.Write(b[:n])
	if err == nil && written < len(b) {
		_ = c.SetLinger(0)
		_ = c.Close()
		err = errCut
	}
	return written, err
}

// cutAfter connects a client whose connection lasts for so many bytes, and has it
// work for as long as it can. It gives how many of the bytes were not used.
func cutAfter(t *testing.T, addr string, creds credentials.TransportCredentials, bytes int64) (unused int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	left := new(atomic.Int64)
	left.Store(bytes)
	var dialed atomic.Bool
	cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if dialed.Swap(true) {
				cancel() // gRPC would try again for ever
				return nil, errCut
			}
			var d net.Dialer
			con, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return &cutConn{con.(*net.TCPConn), left}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_ = exchange(ctx, t, cl) // it fails where the connection is cut
	return left.Load()
}

// exchange is a bit of everything: a statement, parameters, a transaction, metadata.
func exchange(ctx context.Context, t *testing.T, cl *client.Client) error {
	info, err := cl.Execute(ctx, "SELECT repeat('x', 1000) FROM range(1000)")
	if err != nil {
		return err
	}
	rd, err := cl.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return err
	}
	_, err = render(rd)
	rd.Release()
	if err != nil {
		return err
	}
	tx, err := cl.BeginTransaction(ctx)
	if err != nil {
		return err
	}
	st, err := tx.Prepare(ctx, "INSERT INTO t VALUES (?)")
	if err != nil {
		return err
	}
	st.SetParameters(record(t, `[{"x": 1}, {"x": 2}]`, arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int64}))
	if _, err := st.ExecuteUpdate(ctx); err != nil {
		return err
	}
	if err := tx.Rollback(ctx); err != nil {
		return err
	}
	_, err = cl.GetTables(ctx, &client.GetTablesOpts{IncludeSchema: true})
	return err
}

// A connection that is cut after any number of bytes, in plain text and under TLS,
// leaves nothing behind.
func TestVanishingAtAnyByte(t *testing.T) {
	const cuts = 75
	for _, c := range []struct {
		name   string
		server *tls.Config
		client credentials.TransportCredentials
	}{
		{"plain", nil, insecure.NewCredentials()},
		{"TLS", certified(t), credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			srv, addr := start(t, flightsql.Options{Allocator: mem, TLS: c.server})
			control, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(c.client))
			if err != nil {
				t.Fatal(err)
			}
			defer control.Close()
			update(t, control, "CREATE TABLE t (x BIGINT)")
			const plenty = 1 << 20
			whole := plenty - cutAfter(t, addr, c.client, plenty)
			if whole < 1000 || whole == plenty {
				t.Fatalf("the whole exchange took %d bytes", whole)
			}
			base := takeBaseline(t, srv, mem, control)
			for i := range int64(cuts) {
				cutAfter(t, addr, c.client, i*whole/cuts)
			}
			base.back(t, 64<<20)
			equal(t, query(t, control, "SELECT count(*) FROM t"), "0")
		})
	}
}

// certified makes a server's TLS configuration, with a certificate of its own.
func certified(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
