package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"hyprstream/cmd/hyprstream/internal/client"
)

const (
	watchAfter = time.Second // shorter statements get no line
	watchEvery = 400 * time.Millisecond
)

// watch shows how far a statement's inference is, on a line of the terminal,
// from ai.queries by a second session. stop, which may be called twice, takes
// the line away and waits for the goroutine behind it.
func (a *app) watch(ctx context.Context, c client.Client, sql string) (stop func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.follow(ctx, c, sql)
	}()
	return func() {
		cancel()
		<-done
	}
}

// follow is watch's goroutine. What goes wrong here ends only the line.
func (a *app) follow(ctx context.Context, c client.Client, sql string) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(watchAfter):
	}
	side, err := c.Sibling(ctx)
	if err != nil {
		return
	}
	defer side.Close()

	var text atomic.Value
	text.Store("working ")
	p := mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(120*time.Millisecond))
	bar := p.New(0, mpb.SpinnerStyle(), mpb.BarWidth(3), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return text.Load().(string) })),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO)))
	defer func() {
		bar.Abort(true)
		p.Wait()
	}()
	for ctx.Err() == nil {
		rows, err := client.Rows(ctx, side, `SELECT rows_done::VARCHAR, rows_expected::VARCHAR, round(tokens_per_second)::INTEGER::VARCHAR,
			ceil(eta_seconds)::INTEGER::VARCHAR FROM ai.queries WHERE statement = $1 AND rows_expected > 0 ORDER BY started_at DESC LIMIT 1`, sql)
		if err == nil && len(rows) == 1 {
			text.Store(rowsText(rows[0]))
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchEvery):
		}
	}
}

// rowsText is a row of ai.queries as a person reads it.
func rowsText(r []any) string {
	text := fmt.Sprintf("%v of %v rows", r[0], r[1])
	if r[2] != nil && r[3] != nil {
		text += fmt.Sprintf(", %v tokens/s, %vs to go", r[2], r[3])
	}
	return text + " "
}

// beforeFirst calls f before the first byte is written.
type beforeFirst struct {
	w io.Writer
	f func()
}

func (b *beforeFirst) Write(p []byte) (int, error) {
	if b.f != nil {
		b.f()
		b.f = nil
	}
	return b.w.Write(p)
}
