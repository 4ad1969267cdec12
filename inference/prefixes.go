package inference

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Prefixes lists what the loaded models keep of prompts' beginnings, by model,
// the last used first. Processes are asked side by side; one that does not
// answer in time is left out.
func (e *Engine) Prefixes() []PrefixStatus {
	lives := e.ready()
	slices.SortFunc(lives, func(a, b *live) int { return strings.Compare(a.model.Name, b.model.Name) })
	ctx, cancel := context.WithTimeout(e.base, statsPatience)
	defer cancel()
	lists := make([][]PrefixStatus, len(lives))
	var wg sync.WaitGroup
	for i, l := range lives {
		wg.Go(func() {
			list, err := l.proc.Prefixes(ctx)
			if err != nil {
				e.log.Debug("prefixes not listed", "model", l.model.Name, "error", err)
			}
			for _, p := range list {
				lists[i] = append(lists[i], PrefixStatus{Model: l.model.Name, Prefix: p})
			}
		})
	}
	wg.Wait()
	return slices.Concat(lists...)
}
