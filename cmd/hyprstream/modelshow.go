package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/errs"
	"hyprstream/runtime/worker"
	"hyprstream/storage"
)

const modelShowHelp = `Show all that is known of a model: one of the catalog by its name, or a file or a
directory of SafeTensors by its path, which is neither imported nor loaded. What has a
slash or ends in .gguf is a path. What cannot be converted is refused with the reason.

Memory is what it takes when it is loaded, with its slots: one for each answer written
at a time, each with room for the context. --slots and --context-length say what other
numbers would take.`

func (a *app) modelShow() *cobra.Command {
	var asJSON bool
	var quantize string
	var slots, contextLength int
	cmd := &cobra.Command{
		Use:   "show NAME_OR_PATH",
		Short: "Show all that is known of a model, a model file or directory",
		Long:  modelShowHelp,
		Example: `  hyprstream model show gemma-3-270m
  hyprstream model show ./gemma-3-270m-q4_k_m.gguf --slots 8 --context-length 2048
  hyprstream model show ./Qwen3-0.6B --quantize Q8_0`,
		Args: args(1, 1, "the name of one model, or the path of one model file or directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if slots < 0 || slots > 256 || contextLength < 0 {
				return usageError("--slots is a number from 1 to 256, --context-length one of tokens")
			}
			var f facts
			if dir, ok := directory(args[0]); ok && isPath(args[0]) {
				if err := modelDirectory(&f, dir, quantize, contextLength, slots); err != nil {
					return err
				}
				return f.write(a, asJSON)
			}
			if quantize != "" {
				return usageError("--quantize is for a directory that is to be converted")
			}
			if isPath(args[0]) {
				if err := a.modelFile(cmd.Context(), &f, args[0], contextLength, slots); err != nil {
					return err
				}
				return f.write(a, asJSON)
			}
			return a.with(cmd, func(ctx context.Context, c client.Client, place client.Place) error {
				found, err := f.row(ctx, c, "models", args[0])
				if err == nil && !found {
					err = noSuch(errs.ModelNotFound, "model", args[0])
				}
				if err != nil {
					return err
				}
				if info, ok := a.imported(place, f); ok {
					f.file(info)
					f.model(info)
					f.add("trained_context", comma(info.ContextLength)+" tokens", info.ContextLength)
					f.need(info, f.or("context_length", contextLength), f.or("slots", slots), f.or("memory", 0))
				}
				return f.write(a, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	cmd.Flags().StringVar(&quantize, "quantize", "", "of a directory, sizes with weights of `TYPE`, as --with quantize=TYPE makes them")
	cmd.Flags().IntVar(&slots, "slots", 0, "memory with `N` slots (default: its own, or those of a load)")
	cmd.Flags().IntVar(&contextLength, "context-length", 0, "memory with `N` tokens for each slot (default: its own, or those of a load)")
	return cmd
}

// modelFile adds what a file says of itself.
func (a *app) modelFile(ctx context.Context, f *facts, arg string, contextLength, slots int) error {
	path, info, err := inspectFile(arg, storage.KindModel)
	if err != nil {
		return err
	}
	sum, err := a.digest(ctx, path)
	if err != nil {
		return err
	}
	f.add("file", path, path)
	f.add("format", info.Format, info.Format)
	f.file(info)
	f.add("context_length", comma(info.ContextLength)+" tokens", info.ContextLength)
	f.model(info)
	f.add("bytes", bytesText(info.Bytes), info.Bytes)
	f.add("sha256", sum, sum)
	f.need(info, contextLength, slots, 0)
	f.template(info.ChatTemplate)
	return nil
}

// model adds what a model is built of.
func (f *facts) model(info storage.FileInfo) {
	count := func(name string, n int, text string) {
		if n > 0 {
			f.add(name, text, n)
		}
	}
	count("embedding_length", info.EmbeddingLength, strconv.Itoa(info.EmbeddingLength))
	count("layers", info.BlockCount, strconv.Itoa(info.BlockCount))
	count("heads", info.Heads, strconv.Itoa(info.Heads))
	count("kv_heads", info.KVHeads, strconv.Itoa(info.KVHeads))
	count("vocabulary", info.VocabSize, comma(info.VocabSize)+" tokens")
}

// need adds the memory, and what it is for. known is the catalog's word on the
// total, 0 where there is none.
func (f *facts) need(info storage.FileInfo, contextLength, slots, known int) {
	n := storage.EstimateNeed(info, contextLength, slots)
	prefixes := int64(worker.DefaultPrefixBytes)
	if info.Encoder {
		prefixes = 0
	} else if known > 0 { // of a model with a prefix_cache of its own
		own := storage.EstimateNeed(info, f.or("context_length", 0), f.or("slots", 0))
		prefixes = max(0, int64(known)-own.Total())
	}
	total := n.Total() + prefixes
	b := func(n int64) string { return humanize.Bytes(uint64(n)) }
	f.add("memory", bytesText(total), total)
	f.add("memory_for", fmt.Sprintf("%d slots of %s tokens: %s in all\nweights %s, key-value cache %s, compute %s, process %s, beginnings of prompts up to %s",
		n.Slots, comma(n.Context), b(total), b(n.Weights), b(n.KV), b(n.Compute), b(n.Process), b(prefixes)),
		map[string]any{"slots": n.Slots, "context_length": n.Context, "total": total, "weights": n.Weights, "kv": n.KV,
			"compute": n.Compute, "process": n.Process, "prefix_cache": prefixes})
}

// or is n, or where that is 0 a number that is there as a fact.
func (f facts) or(name string, n int) int {
	if n > 0 {
		return n
	}
	v, err := strconv.Atoi(fmt.Sprint(f.value(name)))
	if err != nil {
		return 0
	}
	return v
}
