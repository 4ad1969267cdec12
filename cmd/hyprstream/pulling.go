package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/storage/pull"
)

// sourceFile is what a command's argument names: a file, or with ok a URL, which
// the database fetches. file is its name, from which the object's is made; size
// is in bytes, 0 where it is not known yet.
func sourceFile(place client.Place, arg string) (path, file string, size int64, ok bool, err error) {
	if !pull.IsURL(arg) {
		path, size, err = localFile(place, arg)
		return path, path, size, false, err
	}
	source, err := pull.Parse(arg)
	if err != nil {
		return "", "", 0, true, err
	}
	return arg, source.File(), 0, true, nil
}

// bringIn runs a statement that imports or fetches a file, with a bar on a terminal
// that shows its progress in ai.queries, seen by a second session.
func (a *app) bringIn(ctx context.Context, c client.Client, title, sql string) error {
	if !isTerminal(a.stderr) {
		fmt.Fprintln(a.stderr, title)
		_, err := client.Exec(ctx, c, sql)
		return err
	}
	watching, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.bar(watching, c, title, sql)
	}()
	_, err := client.Exec(ctx, c, sql)
	cancel()
	<-done
	return err
}

// bar is bringIn's goroutine. What goes wrong here ends only the bar.
func (a *app) bar(ctx context.Context, c client.Client, title, sql string) {
	side, err := c.Sibling(ctx)
	if err != nil {
		return
	}
	defer side.Close()
	const whole = 1000
	p := mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(60), mpb.WithRefreshRate(120*time.Millisecond))
	bar := p.AddBar(whole, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(title+" ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_GO)))
	defer func() {
		bar.Abort(true)
		p.Wait()
	}()
	for ctx.Err() == nil {
		rows, err := client.Rows(ctx, side, "SELECT progress::VARCHAR FROM ai.queries WHERE statement = left($1, 500) ORDER BY started_at DESC LIMIT 1", sql)
		if err == nil && len(rows) == 1 {
			if part, err := strconv.ParseFloat(fmt.Sprint(rows[0][0]), 64); err == nil {
				bar.SetCurrent(min(int64(part*whole), whole-1)) // a full bar ends itself
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchEvery):
		}
	}
}
