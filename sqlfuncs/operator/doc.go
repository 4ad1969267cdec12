// Package operator puts inference into DuckDB's own plan.
//
// Its C++ (one purpose a file) registers scalar functions, an optimizer hook that
// lifts their calls into an operator, table functions that stream, and a parser
// hook for the catalog's statements. It knows no model, template or option: a call
// is a number and its arguments, which the Handler answers. Everything that can be
// Go is above, in sqlfuncs.
//
//	hsop.h         the whole border between Go and C++
//	batch.hpp      state shared by DuckDB's threads and the engine's
//	functions.hpp  calls: packing a row into a request, or running in place
//	extract.hpp    pulling calls out of an expression, with their conditions
//	rewrite.hpp    where in the plan the operator goes
//	join.hpp       joins whose condition needs the model: pairs and a filter
//	pairs.hpp      all pairs of two inputs, the left one's rows outermost
//	inference.hpp  the operator: it reads its input as it has room, and gives rows back as they finish
//	run.hpp        one run of it: its input, and the calls it hands over
//	window.hpp     the rows that it has taken in and not yet given out
//	estimate.hpp   ai_estimate: calls below it are counted, not answered
//	stream.hpp     table functions whose rows the engine makes
//	render.hpp     render, which fills the texts of prompts
//	register.hpp   putting it into a database; statements of our own; settings
//	wire.hpp       as which types values leave, and the casts to them
//	guard.hpp      keeping statements out of the data directory
//	withhold.hpp   taking functions of DuckDB's own away from clients
//	operator.cpp   the one translation unit
//
// Threads: C++ is entered by DuckDB's threads and by the goroutines that this
// package starts, one for each batch that is put to the Handler (feed.go); closing the operator cancels
// their context, and Detach waits for them. It must not import DuckDB's
// database/sql driver, Arrow, or anything above sqlfuncs.
package operator
