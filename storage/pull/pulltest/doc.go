// Package pulltest serves repositories as Hugging Face's hub does, the API that
// lists them and the files, for tests. A Hub may be used by several goroutines.
package pulltest
