// Package converttest writes model directories for tests.
package converttest
