// Package pull fetches files named by a URL: https://, hf:// (Hugging Face, a file
// or a repository) and oci:// (a registry's model artefact). It goes on where an earlier attempt,
// also of an earlier process, stopped, and holds the file against the digest
// that its server promises.
//
// It is transport only: what a file is worth and where it is kept is storage's
// and catalog's. Partial downloads lie in a directory of their own, two files
// each: KEY.part holds bytes, KEY.json what they are a part of. KEY.dir has links to
// parts under their names in a repository, as long as somebody reads them. One process at a
// time owns the directory; in it, a lock on KEY.part keeps two pulls apart.
//
// The package has no goroutines of its own, apart from net/http's, which end
// with the call; calls may be made from several at once. It must not import
// inference, catalog, DuckDB, Arrow or gRPC.
package pull
