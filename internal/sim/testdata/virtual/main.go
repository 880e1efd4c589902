// Command virtual runs a simulated server and its client in virtual time and prints how long that
// took on both clocks. A test runs it, because a test binary cannot call InVirtualTime itself.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"bench/internal/sim"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		sim.InVirtualTime(func() { panic("trouble inside") })
		fmt.Println("the panic vanished")
		return
	}
	out := os.Stdout
	for range 2 { // the bubble can be entered again
		start := time.Now()
		entered := sim.InVirtualTime(func() {
			if err := job(out); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println("printed inside")
		})
		fmt.Fprintf(out, "entered=%v quick=%v\n", entered, time.Since(start) < 20*time.Second)
	}
	fmt.Println("printed after")
}

func job(out io.Writer) error {
	cfg, err := sim.ParseTarget("sim:")
	if err != nil {
		return err
	}
	server, err := sim.New(cfg)
	if err != nil {
		return err
	}
	server.Start()
	transport := &http.Transport{DialContext: server.Dial, IdleConnTimeout: 4 * time.Second}
	client := &http.Client{Transport: transport}
	start := time.Now()
	resp, err := client.Post("http://sim/v1/completions", "application/json", strings.NewReader(`{"prompt":"one two three","max_tokens":1000,"ignore_eos":true,"stream":true}`))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	time.Sleep(time.Hour) // a cooldown
	fmt.Fprintf(out, "events=%d virtual=%v year=%d\n", strings.Count(string(body), "data: "), time.Since(start).Truncate(time.Hour), start.Year())
	transport.CloseIdleConnections()
	return server.Close()
}
