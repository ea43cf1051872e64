package signin

// memory remembers values in two generations of at most limit each. When the young one is full it becomes the old one,
// and the old one is forgotten: what is used at least once in a generation stays.
type memory[V any] struct {
	limit      int
	young, old map[digest]V
}

func newMemory[V any](limit int) *memory[V] {
	return &memory[V]{limit: limit, young: make(map[digest]V)}
}

func (m *memory[V]) get(key digest) (V, bool) {
	if v, ok := m.young[key]; ok {
		return v, true
	}
	v, ok := m.old[key]
	if ok {
		m.put(key, v)
	}
	return v, ok
}

func (m *memory[V]) put(key digest, v V) {
	delete(m.old, key)
	if _, there := m.young[key]; !there && len(m.young) >= m.limit {
		m.young, m.old = make(map[digest]V), m.young
	}
	m.young[key] = v
}

func (m *memory[V]) remove(key digest) {
	delete(m.young, key)
	delete(m.old, key)
}
