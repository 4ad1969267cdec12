// Package shell reads lines from a terminal with editing and a history kept in
// a file. While a line is read the terminal is in raw mode and Ctrl-C is a
// key; between lines it is a signal, so that a running statement can be
// cancelled without ending the shell.
//
// It is x/term's line editor, which asks the terminal nothing. (Richer ones
// ask for the cursor's position and wait for ever where nobody answers: under
// expect, in an editor's terminal.)
//
// It has no goroutines and imports nothing of this module.
package shell
