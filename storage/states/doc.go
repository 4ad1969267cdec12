// Package states keeps on disk what models have computed of dialogues, so that a
// later process need not compute it again. What a state means and what it fits is
// the caller's.
//
// A Store is a directory with one file per dialogue, readable by its owner only. A
// file appears by rename, so that a crash leaves the old one or the new one; it is
// not synced: a checksum over all of it is checked before anything in it is used,
// and losing a state costs time only. For that reason no failure of a Store is
// worth failing a statement for. A budget bounds the files; the dialogue used
// longest ago goes first.
//
// The package has no goroutines; calls may be made from several at once. One process
// at a time owns the directory. It must import nothing of this module but errs.
package states
