package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestPlacesAreShared holds that one organisation cannot take all places, however long it tries, and that others find
// some.
func TestPlacesAreShared(t *testing.T) {
	for total, want := range map[int][]int{1: {1}, 2: {1, 1}, 8: {4, 2, 1, 1}, 32: {16, 8, 4, 2, 1, 1}} {
		p := newPlaces(total)
		for i, share := range want {
			got := 0
			for range 2 * total {
				if _, ok := p.try(fmt.Sprint(i)); ok {
					got++
				}
			}
			if got != share {
				t.Errorf("%d places: organisation %d took %d, want %d", total, i, got, share)
			}
		}
	}
}

func TestPlacesComeBack(t *testing.T) {
	p := newPlaces(2)
	release, err := p.take(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.take(t.Context(), "a", 0); err == nil {
		t.Fatal("took the share of others")
	}
	if !p.scarce() {
		t.Error("half of the places is taken and they are not scarce")
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := p.take(gone, "a", time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("left: %v", err)
	}
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			release, err := p.take(t.Context(), "a", time.Hour)
			if err != nil {
				t.Error(err)
				return
			}
			release()
		})
	}
	release()
	group.Wait()
	if p.taken != 0 || len(p.held) != 0 || p.scarce() {
		t.Errorf("%d taken, held %v", p.taken, p.held)
	}
}
