package database

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"hyprstream/errs"
)

// checkText refuses text that is not UTF-8, at any depth: DuckDB takes it in unseen and
// fails on it later, in ways that end the process.
func checkText(a arrow.Array) error {
	switch a := a.(type) {
	case array.StringLike:
		return checkStrings(a)
	case *array.Dictionary:
		return checkText(a.Dictionary())
	case array.ExtensionArray:
		return checkText(a.Storage())
	case array.ListLike:
		return checkText(a.ListValues())
	case *array.Struct:
		for i := range a.NumField() {
			if err := checkText(a.Field(i)); err != nil {
				return err
			}
		}
	case array.Union:
		for i := range a.NumFields() {
			if err := checkText(a.Field(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkStrings(a array.StringLike) error {
	for i := range a.Len() {
		if a.IsValid(i) && !utf8.ValidString(a.Value(i)) {
			return errs.New(errs.InvalidArgument, "arrow", "text %d is not UTF-8: send it as binary", i+1)
		}
	}
	return nil
}
