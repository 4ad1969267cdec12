// Package storage keeps model files by content digest and says what is in a
// file without loading it.
//
// A Store is a directory: blobs/sha256-<hex> are whole, checked files; partial-*
// beside them are copies that were interrupted and can be resumed. A blob
// appears by rename only, after its bytes are on disk, so a crash at any moment
// leaves either the blob or a partial, never half a blob under a digest's name.
//
// The package has no goroutines of its own: every call works on its caller's
// goroutine and may be made from several at once. One process at a time owns a
// store's directory; the database's lock sees to that.
//
// It must not import inference, catalog, DuckDB, Arrow or a transport. It alone
// uses the GGUF library, which brings net/http with it (for remote files, which
// are not used here); layers that must stay free of HTTP take what they need
// from storage through an interface or a func.
package storage
