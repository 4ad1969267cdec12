package peft

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/safetensors"
)

// opened is a directory whose configuration and tensors' list have been read.
type opened struct {
	config  *config
	file    *os.File
	was     fs.FileInfo
	tensors []safetensors.Tensor // by their place
}

// open reads the directory but for the numbers. The caller closes the file.
func (d *Dir) open() (*opened, error) {
	text, err := readSmall(d.config)
	if err != nil {
		return nil, err
	}
	x := &opened{}
	if x.config, err = readConfig(d.config, text); err != nil {
		return nil, err
	}
	if x.file, x.was, err = openRegular(d.tensors); err != nil {
		return nil, err
	}
	if x.tensors, err = safetensors.Read(x.file, x.was.Size()); err != nil {
		x.file.Close()
		return nil, errs.Wrap(err, errs.InvalidModelFile, op, "%s is not usable", d.tensors)
	}
	return x, nil
}

// unchanged says whether the file is still what it was when its list was read.
func (x *opened) unchanged() error {
	st, err := x.file.Stat()
	if err != nil {
		return err
	}
	if !storage.Unchanged(x.was, st) {
		return errors.New("it changed while it was converted; try again when it is complete")
	}
	return nil
}

func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold us up
	if err != nil {
		return nil, nil, errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", path)
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, nil, errs.New(errs.InvalidModelFile, op, "%s is not a regular file", path)
	}
	return f, st, nil
}

func readSmall(path string) ([]byte, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil || len(text) > maxConfig {
		return nil, errs.New(errs.InvalidModelFile, op, "%s is not a readable file of %d bytes at most", path, maxConfig)
	}
	return text, nil
}
