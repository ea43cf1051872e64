package wire

// Health says that the process answers.
type Health struct {
	Status  string `json:"status"` // "ok"
	Version string `json:"version"`
}

// Readiness says whether the service can do its work, and what keeps it from it.
type Readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

// Check is one thing the service depends on.
type Check struct {
	Name string `json:"name"` // for example "ledger"
	OK   bool   `json:"ok"`
	// Required: the service is not ready without it. Without the others it works, and something is delayed.
	Required bool   `json:"required"`
	ZH       string `json:"zh"` // one sentence
	EN       string `json:"en"`
}
