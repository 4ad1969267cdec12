// Package grammar turns JSON schemas into grammars (GBNF), by llama.cpp's own code.
// It needs no model and no other part of llama.cpp, so it runs in the server's
// process: only the few files of llama.cpp's common library that the conversion is made of are compiled.
//
// Its functions may be called from any goroutine. It imports nothing of hyprstream.
package grammar
