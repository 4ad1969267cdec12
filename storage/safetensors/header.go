package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parse reads the header's JSON object. Names that come twice are an error, which
// decoding into a map or a struct would hide: another reader may take the other.
func parse(text []byte) ([]Tensor, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("its header is no UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var list []Tensor
	err := object(dec, func(name string) error {
		if name == "__metadata__" {
			var notes map[string]string
			if err := dec.Decode(&notes); err != nil {
				return fmt.Errorf("its __metadata__ is no object of strings: %w", err)
			}
			return nil
		}
		t, err := parseTensor(dec, name)
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text[dec.InputOffset():])) > 0 {
		return nil, errors.New("its header goes on behind the JSON object")
	}
	return list, nil
}

func parseTensor(dec *json.Decoder, name string) (Tensor, error) {
	t := Tensor{Name: name}
	var offsets []uint64
	err := object(dec, func(key string) error {
		to, known := map[string]any{"dtype": &t.Type, "shape": &t.Shape, "data_offsets": &offsets}[key]
		if !known {
			return fmt.Errorf("the key %.40q is not known", key)
		}
		return dec.Decode(to)
	})
	if err != nil {
		return t, fmt.Errorf("tensor %.100q: %w", name, err)
	}
	if t.Shape == nil {
		return t, fmt.Errorf("tensor %.100q has no shape", name)
	}
	return t, t.check(offsets)
}

// object reads an object, calling value for each key to read what it is.
func object(dec *json.Decoder, value func(key string) error) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("its header has no JSON object at byte %d, where one is expected", dec.InputOffset())
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("its header is no JSON: %w", err)
		}
		key, _ := token.(string) // a key is one
		if seen[key] {
			return fmt.Errorf("two entries are named %.100q", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("its header is no JSON: %w", err)
	}
	return nil
}
