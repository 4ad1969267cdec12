package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// work runs f with a line on stderr that says what takes so long: moving on a
// terminal, one plain line elsewhere. The line is gone, or ended, when it returns.
func (a *app) work(title string, f func() error) (time.Duration, error) {
	start := time.Now()
	if !isTerminal(a.stderr) {
		fmt.Fprintln(a.stderr, title)
		err := f()
		return time.Since(start), err
	}
	stop := a.spin(title)
	err := f()
	stop()
	return time.Since(start), err
}

// spin shows a moving line on a terminal until stop, which may be called twice.
func (a *app) spin(title string) (stop func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	p := mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(120*time.Millisecond))
	bar := p.New(0, mpb.SpinnerStyle(), mpb.BarWidth(3), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(title+" ")),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO)))
	return func() {
		bar.Abort(true)
		p.Wait()
	}
}

// reading shows how much of total bytes has been read from r.
func (a *app) reading(title string, r io.Reader, total int64, f func(io.Reader) error) error {
	if !isTerminal(a.stderr) {
		return f(r)
	}
	p := mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40))
	bar := p.AddBar(total, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(title+" ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
	proxy, err := bar.ProxyReader(r)
	if err == nil {
		err = f(proxy)
	}
	bar.Abort(true)
	p.Wait()
	return err
}
