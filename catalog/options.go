package catalog

import (
	"encoding/json"
	"slices"
	"strconv"

	"hyprstream/catalog/ddl"
	"hyprstream/errs"
	"hyprstream/inference"
)

// modelOption takes one option of CREATE MODEL … WITH (…).
type modelOption struct {
	kind     ddl.Kind
	min, max int // of whole numbers
	set      func(o *inference.ModelOptions, n int, text string)
	get      func(o *inference.ModelOptions) any // 0 or "" where it was not given
}

// modelOptions are what CREATE MODEL takes. A new option is added here and in
// inference.ModelOptions.
var modelOptions = map[string]modelOption{
	"context_length": {ddl.Number, 1, 1 << 24, func(o *inference.ModelOptions, n int, _ string) { o.ContextLength = n },
		func(o *inference.ModelOptions) any { return o.ContextLength }},
	"slots": {ddl.Number, 1, 256, func(o *inference.ModelOptions, n int, _ string) { o.Slots = n },
		func(o *inference.ModelOptions) any { return o.Slots }},
	"threads": {ddl.Number, 1, 1024, func(o *inference.ModelOptions, n int, _ string) { o.Threads = n },
		func(o *inference.ModelOptions) any { return o.Threads }},
	"batch_size": {ddl.Number, 1, 1 << 16, func(o *inference.ModelOptions, n int, _ string) { o.BatchSize = n },
		func(o *inference.ModelOptions) any { return o.BatchSize }},
	"gpu_layers": {ddl.Number, -1, 1 << 16, func(o *inference.ModelOptions, n int, _ string) { o.GPULayers = n },
		func(o *inference.ModelOptions) any { return o.GPULayers }},
	"prefix_cache": {ddl.Number, 0, 1 << 20, setPrefixCache,
		func(o *inference.ModelOptions) any { return o.PrefixCache }},
	"quantize": {ddl.String, 0, 0, func(o *inference.ModelOptions, _ int, s string) { o.Quantize = s },
		func(o *inference.ModelOptions) any { return o.Quantize }},
	"chat_template": {ddl.String, 0, 0, func(o *inference.ModelOptions, _ int, s string) { o.ChatTemplate = s },
		func(o *inference.ModelOptions) any { return o.ChatTemplate }},
}

func setPrefixCache(o *inference.ModelOptions, n int, _ string) {
	if o.PrefixCache = n; n == 0 {
		o.PrefixCache = -1
	}
}

// OptionsJSON are the options of a model's CREATE MODEL that were given, and the
// slots that were chosen where they were not, as a JSON object.
func (v Model) OptionsJSON() string {
	given := map[string]any{}
	for name, o := range modelOptions {
		switch value := o.get(&v.Options); value {
		case 0, "":
		case -1:
			if given[name] = value; name == "prefix_cache" {
				given[name] = 0
			}
		default:
			given[name] = value
		}
	}
	text, _ := json.Marshal(given) // numbers and texts always can be
	return string(text)
}

// parseModelOptions checks names, types and ranges.
func parseModelOptions(list []ddl.Option) (out inference.ModelOptions, err error) {
	seen := map[string]bool{}
	for _, o := range list {
		want, ok := modelOptions[o.Name]
		if !ok {
			return out, unknownOption(o, modelOptions)
		}
		if err := checkOption(o, want.kind, seen); err != nil {
			return out, err
		}
		n := 0
		if want.kind == ddl.Number {
			n, err = strconv.Atoi(o.Text)
			if err != nil || n < want.min || n > want.max {
				return out, errs.New(errs.InvalidArgument, "", "option %s is a whole number from %d to %d, not %s", o.Name, want.min, want.max, o.Text)
			}
		}
		want.set(&out, n, o.Text)
	}
	return out, nil
}

// parseScale reads CREATE ADAPTER's only option.
func parseScale(list []ddl.Option) (float32, error) {
	scale, seen := float32(1), map[string]bool{}
	for _, o := range list {
		if o.Name != "scale" {
			return 0, unknownOption(o, map[string]bool{"scale": true})
		}
		if err := checkOption(o, ddl.Number, seen); err != nil {
			return 0, err
		}
		v, err := strconv.ParseFloat(o.Text, 32)
		if err != nil || v < -100 || v > 100 {
			return 0, errs.New(errs.InvalidArgument, "", "option scale is a number from -100 to 100, not %s", o.Text)
		}
		scale = float32(v)
	}
	return scale, nil
}

func checkOption(o ddl.Option, want ddl.Kind, seen map[string]bool) error {
	if seen[o.Name] {
		return errs.New(errs.InvalidArgument, "", "option %s is given twice (line %d, column %d)", o.Name, o.Line, o.Column)
	}
	seen[o.Name] = true
	if o.Kind == want {
		return nil
	}
	is := "a number"
	if want == ddl.String {
		is = "a string in single quotes"
	}
	return errs.New(errs.InvalidArgument, "", "option %s is %s, not %s (line %d, column %d)", o.Name, is, o.Text, o.Line, o.Column)
}

// unknownOption names the nearest option and all of them.
func unknownOption[T any](o ddl.Option, valid map[string]T) error {
	names := make([]string, 0, len(valid))
	for n := range valid {
		names = append(names, n)
	}
	slices.Sort(names)
	return errs.New(errs.InvalidArgument, "", "unknown option %s (line %d, column %d): %s; valid options are %s",
		o.Name, o.Line, o.Column, suggest(o.Name, slices.Clone(names)), joinNames(names))
}
