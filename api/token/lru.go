package token

import (
	"container/list"
	"sync"
)

// lru is a bounded map that forgets what was least recently used. It is safe for concurrent use.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	limit int
	order *list.List          // most recently used first; guarded by mu
	items map[K]*list.Element // guarded by mu
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, order: list.New(), items: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	element, ok := l.items[key]
	if !ok {
		var zero V
		return zero, false
	}
	l.order.MoveToFront(element)
	return element.Value.(lruItem[K, V]).value, true
}

func (l *lru[K, V]) put(key K, value V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if element, ok := l.items[key]; ok {
		element.Value = lruItem[K, V]{key, value}
		l.order.MoveToFront(element)
		return
	}
	l.items[key] = l.order.PushFront(lruItem[K, V]{key, value})
	if l.order.Len() > l.limit {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.items, last.Value.(lruItem[K, V]).key)
	}
}

func (l *lru[K, V]) remove(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if element, ok := l.items[key]; ok {
		l.order.Remove(element)
		delete(l.items, key)
	}
}

func (l *lru[K, V]) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.order.Len()
}
