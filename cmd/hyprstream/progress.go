package main

import (
	"fmt"
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

// counting shows how many of total bytes f has moved, as it tells.
func (a *app) counting(title string, f func(moved func(done, total int64)) error) error {
	if !isTerminal(a.stderr) {
		return f(func(int64, int64) {})
	}
	p := mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40))
	bar := p.AddBar(0, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(title+" ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
	err := f(func(done, total int64) {
		bar.SetTotal(total, false)
		bar.SetCurrent(done)
	})
	bar.Abort(true)
	p.Wait()
	return err
}
