// Package config gives every flag of the command line two more sources: an
// environment variable and a key in a YAML file. The order is flag,
// environment, file, default.
//
// The flag --memory-budget is HYPRSTREAM_MEMORY_BUDGET and the key
// "memory-budget". A key below a command's name ("serve: {http: …}") counts
// for that command only and goes before the plain key. A key that is no flag
// of any command is an error: a misspelt key must not be ignored.
//
// It has no goroutines and imports only errs of this module.
package config
