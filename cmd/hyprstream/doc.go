// Command hyprstream is server, client and engine in one binary. This package
// wires the concrete types together and holds the commands; what they share
// lives below internal.
//
//	serve          Flight SQL and HTTP over one data directory
//	model, adapter the catalog's statements, with progress
//	chat, sql      a prompt or a statement, once or interactively
//	worker         (hidden) one loaded model; runtime/worker starts it
//
// All commands but serve and worker speak SQL through internal/client, to a
// running server or to the data directory itself.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
package main
