package worker

import (
	"context"
	"fmt"
	"os"
)

// parentThatWaits starts a worker, prints its process id and waits to be killed.
func parentThatWaits() int {
	p, err := Start(context.Background(), Spec{Path: os.Getenv("HYPRSTREAM_TEST_MODEL"), ContextLength: 256, Slots: 1}, options())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.PID())
	<-p.Done()
	return 1
}
