// Package output writes a result in one of the formats of `hyprstream sql`:
// table, csv, json, arrow. Rows are written as they come; only a table holds
// back its first rows, to know the columns' widths.
//
// NULL stays distinct from an empty string in each: the word NULL in a table
// (dim on a terminal), an unquoted nothing in csv where an empty string is "",
// null in json.
//
// It has no goroutines and imports only errs of this module.
package output
