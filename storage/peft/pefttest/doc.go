// Package pefttest writes PEFT adapters' directories for tests. It imports
// nothing of the module, so that every layer's tests may use it.
package pefttest
