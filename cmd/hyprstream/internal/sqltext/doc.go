// Package sqltext splits SQL text into statements and quotes the two things
// that a CREATE MODEL statement cannot take as parameters: a name and a path.
//
// It understands only what decides where a statement ends: strings, quoted
// identifiers, dollar quotes and comments. It has no goroutines and imports
// nothing of this module.
package sqltext
