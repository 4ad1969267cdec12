package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
	"hyprstream/storage/peft"
)

// directory says whether an argument names one, and its absolute path.
func directory(arg string) (path string, ok bool) {
	st, err := os.Stat(arg)
	if err != nil || !st.IsDir() {
		return "", false
	}
	path, err = filepath.Abs(arg)
	return path, err == nil
}

// holds says whether a directory has a file.
func holds(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// modelDirectory adds what the SafeTensors in a directory say of the model that
// they will be, quantised where quantize names a type.
func modelDirectory(f *facts, dir string, quantize string, contextLength, slots int) error {
	if holds(dir, peft.ConfigName) {
		return errs.New(errs.InvalidArgument, "cli", "%s holds an adapter, not a model: use hyprstream adapter show '%s'", dir, dir)
	}
	plan, err := convert.Open(dir, nil)
	if err != nil {
		return err
	}
	var want convert.Quantisation
	if quantize != "" {
		if want, err = convert.FindQuantisation(quantize); err != nil {
			return err
		}
	}
	info, err := plan.Info(want)
	if err != nil {
		return err
	}
	f.add("directory", dir, dir)
	f.add("format", "safetensors, to be converted", "safetensors")
	f.file(info)
	f.add("context_length", comma(info.ContextLength)+" tokens", info.ContextLength)
	f.model(info)
	f.add("bytes", bytesText(plan.SourceBytes()), plan.SourceBytes())
	f.add("converted_bytes", bytesText(plan.Bytes()), plan.Bytes())
	if want.Name != "" {
		f.add("quantised_bytes", "about "+bytesText(info.Bytes), info.Bytes)
	}
	f.need(info, contextLength, slots, 0)
	f.template(info.ChatTemplate)
	return nil
}

// adapterDirectory adds what a directory of PEFT's says of the adapter that it
// will be.
func adapterDirectory(f *facts, dir string) (*peft.Dir, error) {
	if !holds(dir, peft.ConfigName) && holds(dir, convert.ConfigName) {
		return nil, errs.New(errs.InvalidArgument, "cli", "%s holds a model, not an adapter: use hyprstream model show '%s'", dir, dir)
	}
	d, err := peft.Find(dir, nil)
	if err != nil {
		return nil, err
	}
	v, err := d.Describe()
	if err != nil {
		return nil, err
	}
	f.add("directory", dir, dir)
	f.add("format", "PEFT, to be converted", "peft")
	f.add("kind", "lora", "lora")
	f.add("base_model", v.BaseModel, v.BaseModel)
	if v.BaseSHA256 != "" {
		f.add("base_sha256", v.BaseSHA256, v.BaseSHA256)
	}
	f.add("parameters", countText(v.Parameters), v.Parameters)
	f.tensors(v.Tensors, v.Types)
	f.add("rank", fmt.Sprint(v.Rank), v.Rank)
	if len(v.Ranks) > 1 {
		f.add("ranks", strings.Trim(fmt.Sprint(v.Ranks), "[]"), v.Ranks)
	}
	alpha := fmt.Sprint(v.Alpha)
	if v.RankStable {
		alpha += ", over the root of the rank (rslora)"
	}
	f.add("alpha", alpha, v.Alpha)
	f.add("targets", strings.Join(v.Targets, ", "), v.Targets)
	f.add("bytes", bytesText(v.Bytes), v.Bytes)
	f.add("converted_bytes", bytesText(v.ConvertedBytes), v.ConvertedBytes)
	return d, nil
}

// fitsWith says what is in the way of an adapter, in a file or a directory, with a model.
func fitsWith(path string, dir *peft.Dir, base storage.Base) error {
	if dir != nil {
		return dir.Check(base)
	}
	return storage.CheckAdapter(path, base, "")
}

// convertedDigest is the digest of the file that a directory is converted to.
func (a *app) convertedDigest(ctx context.Context, dir string) (string, error) {
	plan, err := convert.Open(dir, nil)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	err = a.counting("checking "+filepath.Base(dir), func(moved func(done, total int64)) error {
		return plan.Write(ctx, sum, moved)
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
