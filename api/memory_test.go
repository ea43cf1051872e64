package api

import (
	"crypto/rand"
	"io"
	"runtime"
	"testing"
	"time"

	"cunzheng/api/client"
	"cunzheng/api/wire"
)

// TestTransferMemory holds that a large file goes up and comes down in constant memory.
func TestTransferMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 400 MiB")
	}
	const size, allowed = 200 << 20, 64 << 20
	e := start(t, nil)
	c := e.as(t, "depositor")
	if _, err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	idle := heap()
	peak := uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				peak = max(peak, heap())
			}
		}
	}()
	d, err := c.DepositFile(t.Context(), client.File{
		FileMetadata: wire.FileMetadata{Metadata: wire.Metadata{Name: "big.bin"}},
		Content:      io.LimitReader(rand.Reader, size), Length: size,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Content(t.Context(), d.Number, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := c.Bundle(t.Context(), d.Number, true, io.Discard); err != nil {
		t.Fatal(err)
	}
	close(stop)
	<-done
	if peak > idle+allowed {
		t.Errorf("%d MiB above idle, want at most %d", (peak-idle)>>20, allowed>>20)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
