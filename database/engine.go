package database

import (
	"context"
	"log/slog"

	"hyprstream/inference"
	"hyprstream/runtime/worker"
)

// processes starts engine processes: the concrete type behind inference.Runtime.
type processes struct {
	exe string // "" is this program
	log *slog.Logger
}

func (p processes) Start(ctx context.Context, spec worker.Spec, progress func(float64)) (inference.Process, error) {
	w, err := worker.Start(ctx, spec, worker.Options{Exe: p.exe, Logger: p.log, Progress: progress})
	if err != nil {
		return nil, err // not w: a nil *Process in an interface is not nil
	}
	return w, nil
}

// Quantise writes a model's file with weights of another type.
func (p processes) Quantise(ctx context.Context, in, out string, ftype int32, progress func(float64)) error {
	return worker.Quantize(ctx, in, out, ftype, worker.Options{Exe: p.exe, Logger: p.log, Progress: progress})
}
