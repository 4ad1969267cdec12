package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/database"
	"hyprstream/errs"
	"hyprstream/flightsql"
	"hyprstream/rest"
	"hyprstream/storage/pull"
)

// grace is how long running statements may go on after the first signal.
const grace = 10 * time.Second

type serveFlags struct {
	flight, http    string
	allowDirs       []string
	allowPull       string
	tlsCert, tlsKey string
	insecure        bool
	memoryBudget    string
	idleTimeout     time.Duration
	cacheSize       string
	sessionsSize    string
}

const serveHelp = `Serve one data directory over Flight SQL (ADBC, JDBC, ODBC drivers) and HTTP
(OpenAI-compatible: /v1/chat/completions, /v1/completions, /v1/models, and /v1/sql).

By default both ports listen on the loopback only, without a token. Another address
needs --tls-cert, --tls-key and --token, or --insecure to do without.

Statements of clients (COPY, read_csv, ATTACH, CREATE MODEL … FROM) reach only files
below --allow-dir, by default the directory that serve is started in. CREATE MODEL and
CREATE ADAPTER FROM a URL pull only what --allow-pull names, by default nothing:
hf (Hugging Face), oci (registries), https (any public address), or a HOST[:PORT],
which may then also be a private address.

The first SIGINT or SIGTERM lets running statements finish for 10 seconds and then
cancels them; a second one ends the process at once.`

func (a *app) serveCommand() *cobra.Command {
	var o serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve Flight SQL and HTTP",
		Long:  serveHelp,
		Example: `  hyprstream serve
  hyprstream serve --allow-dir ~/models --allow-dir ~/data
  hyprstream serve --allow-pull hf,registry.example.com
  hyprstream serve --flight 0.0.0.0:8815 --http 0.0.0.0:8080 --tls-cert cert.pem --tls-key key.pem`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.flight, "flight", "127.0.0.1:8815", "`ADDRESS` of the Flight SQL port; port 0 takes a free one")
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "`ADDRESS` of the HTTP port; port 0 takes a free one")
	f.StringArrayVar(&o.allowDirs, "allow-dir", nil, "`DIR` whose files statements may read and write; may be repeated (default: the current directory)")
	f.StringVar(&o.allowPull, "allow-pull", "", "`LIST` of what clients may pull by URL, with commas: hf, oci, https, HOST, HOST:PORT (default: nothing)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "PEM `FILE` with the certificate of both ports")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM `FILE` with its key")
	f.BoolVar(&o.insecure, "insecure", false, "allow an address off the loopback without TLS or token")
	f.StringVar(&o.memoryBudget, "memory-budget", "", "`SIZE` that loaded models may take together, such as 8GB (default: from the machine's memory)")
	f.DurationVar(&o.idleTimeout, "idle-timeout", 0, "unload a model not used for this `TIME`, such as 30m (default: never)")
	f.StringVar(&o.cacheSize, "cache-size", "1GB", "`SIZE` on disk that answers kept by cache := 'persistent' may take; 0 keeps none")
	f.StringVar(&o.sessionsSize, "sessions-size", "1GB", "`SIZE` on disk that what models have computed of chat's sessions may take; 0 keeps none")
	return cmd
}

func (a *app) serve(parent context.Context, o serveFlags) (err error) {
	log, err := a.logger(slog.LevelInfo)
	if err != nil {
		return err
	}
	tlsConf, err := o.tls()
	if err != nil {
		return &usage{err}
	}
	if err := o.checkAddresses(a.token, tlsConf != nil); err != nil {
		return &usage{err}
	}
	cfg, err := a.databaseConfig(o, log)
	if err != nil {
		return &usage{err}
	}
	ctx, stop := interruptible(parent)
	defer stop()
	db, err := database.Open(ctx, cfg)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if closeErr := db.Close(closing); err == nil {
			err = closeErr
		}
	}()
	s := &servers{app: a, opt: o, log: log, db: db, tls: tlsConf, dir: cfg.Dir}
	return s.run(ctx, cfg.AllowDirs)
}

func (a *app) databaseConfig(o serveFlags, log *slog.Logger) (cfg database.Config, err error) {
	cfg = database.Config{IdleTimeout: o.idleTimeout, Logger: log}
	if cfg.Dir, err = filepath.Abs(a.data); err != nil {
		return cfg, errs.Wrap(err, errs.InvalidArgument, "serve", "--data %s", a.data)
	}
	if o.memoryBudget != "" {
		n, err := humanize.ParseBytes(o.memoryBudget)
		if err != nil || n == 0 || n > 1<<62 {
			return cfg, errs.New(errs.InvalidArgument, "serve", "--memory-budget %q is not a size such as 8GB", o.memoryBudget)
		}
		cfg.MemoryBudget = int64(n)
	}
	if cfg.CacheSize, err = diskSize("--cache-size", o.cacheSize, "no cache"); err != nil {
		return cfg, err
	}
	if cfg.StatesSize, err = diskSize("--sessions-size", o.sessionsSize, "none"); err != nil {
		return cfg, err
	}
	if o.allowPull != "" {
		cfg.AllowPull = strings.Split(o.allowPull, ",")
	}
	if err := pull.CheckAllow(cfg.AllowPull); err != nil {
		return cfg, errs.Wrap(err, errs.InvalidArgument, "serve", "--allow-pull")
	}
	dirs := o.allowDirs
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return cfg, errs.Wrap(err, errs.InvalidArgument, "serve", "--allow-dir %s", dir)
		}
		if info, err := os.Stat(abs); err != nil || !info.IsDir() {
			return cfg, errs.New(errs.InvalidArgument, "serve", "--allow-dir %s is not a directory", dir)
		}
		cfg.AllowDirs = append(cfg.AllowDirs, abs)
	}
	return cfg, nil
}

// diskSize is a size as database.Config has it, where -1 is 0.
func diskSize(flag, text, none string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	switch {
	case err != nil || n > 1<<62:
		return 0, errs.New(errs.InvalidArgument, "serve", "%s %q is not a size such as 8GB, nor 0 for %s", flag, text, none)
	case n == 0:
		return -1, nil
	}
	return int64(n), nil
}

func (o serveFlags) tls() (*tls.Config, error) {
	switch {
	case o.tlsCert == "" && o.tlsKey == "":
		return nil, nil
	case o.tlsCert == "" || o.tlsKey == "":
		return nil, errs.New(errs.InvalidArgument, "serve", "--tls-cert and --tls-key belong together")
	}
	pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidArgument, "serve", "the certificate cannot be used")
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// checkAddresses refuses what would let strangers in.
func (o serveFlags) checkAddresses(token string, tls bool) error {
	for _, l := range []struct{ flag, address string }{{"--flight", o.flight}, {"--http", o.http}} {
		flag, address := l.flag, l.address
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return errs.New(errs.InvalidArgument, "serve", "%s %q is not an address such as 127.0.0.1:8080", flag, address)
		}
		ip := net.ParseIP(host)
		if host == "localhost" || ip != nil && ip.IsLoopback() || o.insecure {
			continue
		}
		var missing []string
		if !tls {
			missing = append(missing, "--tls-cert and --tls-key")
		}
		if token == "" {
			missing = append(missing, "--token")
		}
		if len(missing) > 0 {
			return errs.New(errs.PermissionDenied, "serve", "%s %s can be reached from other machines and needs %s; --insecure does without", flag, address, strings.Join(missing, " and "))
		}
	}
	return nil
}

// servers are the two listeners over one database. run owns their goroutines.
type servers struct {
	app *app
	opt serveFlags
	log *slog.Logger
	db  *database.DB
	tls *tls.Config
	dir string
}

func (s *servers) run(ctx context.Context, allowed []string) error {
	flightLis, err := listen(ctx, "--flight", s.opt.flight)
	if err != nil {
		return err
	}
	httpLis, err := listen(ctx, "--http", s.opt.http)
	if err != nil {
		return errors.Join(err, flightLis.Close())
	}
	flight, err := flightsql.New(s.db, flightsql.Options{Logger: s.log, Token: s.app.token, TLS: s.tls, Version: version})
	if err != nil {
		return errors.Join(err, flightLis.Close(), httpLis.Close())
	}
	host, _, _ := net.SplitHostPort(s.opt.http)
	if host == "" {
		host = "0.0.0.0"
	}
	web := &http.Server{
		Handler:           rest.New(s.db, rest.Options{Logger: s.log, Token: s.app.token, Hosts: []string{host}}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		TLSConfig:         s.tls,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	rec := client.Record{PID: os.Getpid(), Flight: reachable(s.opt.flight, flightLis), HTTP: reachable(s.opt.http, httpLis), TLS: s.tls != nil}
	if s.opt.tlsCert != "" {
		rec.Cert, _ = filepath.Abs(s.opt.tlsCert) // without it clients use the system's certificates
	}

	var group errgroup.Group
	ctx, failed := context.WithCancel(ctx)
	defer failed()
	serve := func(f func() error) {
		group.Go(func() error {
			defer failed() // one listener that ends takes the other along
			return f()
		})
	}
	serve(func() error { return flight.Serve(flightLis) })
	serve(func() error {
		err := error(nil)
		if s.tls != nil {
			err = web.ServeTLS(httpLis, "", "")
		} else {
			err = web.Serve(httpLis)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	if err := client.WriteRecord(s.dir, rec); err != nil {
		failed()
		return errors.Join(err, s.shutdown(flight, web), group.Wait())
	}
	defer client.RemoveRecord(s.dir, rec.PID)
	s.announce(rec, allowed)
	<-ctx.Done()
	fmt.Fprintln(s.app.stderr, "hyprstream: stopping; a second signal stops at once")
	return errors.Join(s.shutdown(flight, web), group.Wait())
}

// shutdown lets both servers finish side by side, then cancels what is left.
func (s *servers) shutdown(flight *flightsql.Server, web *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return flight.Shutdown(ctx) })
	group.Go(func() error {
		if web.Shutdown(ctx) != nil {
			return web.Close() // ends the requests' contexts
		}
		return nil
	})
	err := group.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("statements were cancelled at shutdown")
		return nil
	}
	return err
}

func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errs.New(errs.AlreadyExists, "serve", "%s %s is in use by another program; give another port, or port 0 for a free one", flag, address)
	case err != nil:
		return nil, errs.Wrap(err, errs.InvalidArgument, "serve", "%s %s cannot be listened on", flag, address)
	}
	return l, nil
}

// reachable is how a process on this machine reaches a listener: under the host
// it was configured with, which is what a certificate names, and its real port.
func reachable(address string, l net.Listener) string {
	host, _, _ := net.SplitHostPort(address)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// announce says where the server is and what to do next.
func (s *servers) announce(rec client.Record, allowed []string) {
	grpc, web := "grpc://", "http://"
	if rec.TLS {
		grpc, web = "grpc+tls://", "https://"
	}
	fmt.Fprintf(s.app.stdout, `hyprstream %s is ready
  Flight SQL  %s%s
  HTTP        %s%s
  data        %s
  files       statements reach %s
`, version, grpc, rec.Flight, web, rec.HTTP, s.dir, strings.Join(allowed, ", "))
	fmt.Fprintf(s.app.stdout, "Next: %s\n", s.next(web+rec.HTTP))
}

// next is the step that fits the catalog.
func (s *servers) next(url string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	sess, err := s.db.Session(ctx, database.SessionOptions{Client: "serve"})
	if err == nil {
		defer sess.Close()
		if res, err := sess.Query(ctx, "SELECT 1 FROM ai.models LIMIT 1"); err == nil {
			defer res.Close()
			if !res.Next() {
				return "hyprstream model load PATH.gguf"
			}
		}
	}
	return fmt.Sprintf(`hyprstream chat "Hello", or curl %s/v1/chat/completions -d '{"messages": [{"role": "user", "content": "Hello"}]}'`, url)
}
