package chaincode

import "strconv"

// function is how [Invoke] calls one function of the contract: write if it may change the state, otherwise read.
type function struct {
	args  int
	write func(s State, args [][]byte) error
	read  func(r Reader, args [][]byte) ([]byte, error)
}

var functions = map[string]function{
	FuncRegisterLog: {args: 2, write: func(s State, args [][]byte) error {
		return RegisterLog(s, string(args[0]), args[1])
	}},
	FuncRotateLogKey: {args: 3, write: func(s State, args [][]byte) error {
		return RotateLogKey(s, string(args[0]), args[1], args[2])
	}},
	FuncAnchor: {args: 3, write: func(s State, args [][]byte) error {
		return Anchor(s, string(args[0]), args[1], args[2])
	}},
	FuncLatest: {args: 1, read: func(r Reader, args [][]byte) ([]byte, error) {
		return Latest(r, string(args[0]))
	}},
	FuncAt: {args: 2, read: func(r Reader, args [][]byte) ([]byte, error) {
		size, err := parseNumber(args[1])
		if err != nil {
			return nil, err
		}
		return At(r, string(args[0]), size)
	}},
	FuncHistory: {args: 3, read: func(r Reader, args [][]byte) ([]byte, error) {
		from, err := parseNumber(args[1])
		if err != nil {
			return nil, err
		}
		limit, err := parseNumber(args[2])
		if err != nil {
			return nil, err
		}
		return answer(History(r, string(args[0]), from, limit))
	}},
	FuncRegisterKey: {args: 2, write: func(s State, args [][]byte) error {
		return RegisterKey(s, args[0], args[1])
	}},
	FuncRevokeKey: {args: 3, write: func(s State, args [][]byte) error {
		return RevokeKey(s, string(args[0]), string(args[1]), string(args[2]))
	}},
	FuncKey: {args: 1, read: func(r Reader, args [][]byte) ([]byte, error) {
		return answer(Key(r, string(args[0])))
	}},
	FuncKeys: {args: 3, read: paged(Keys)},
	FuncPublishNode: {args: 2, write: func(s State, args [][]byte) error {
		return PublishNode(s, string(args[0]), args[1])
	}},
	FuncNode: {args: 1, read: func(r Reader, args [][]byte) ([]byte, error) {
		return answer(Node(r, string(args[0])))
	}},
	FuncNodes: {args: 3, read: paged(Nodes)},
	FuncPublishStatus: {args: 2, write: func(s State, args [][]byte) error {
		return PublishStatus(s, string(args[0]), args[1])
	}},
	FuncStatus: {args: 2, read: func(r Reader, args [][]byte) ([]byte, error) {
		return answer(Status(r, string(args[0]), string(args[1])))
	}},
	FuncReportFork: {args: 3, write: func(s State, args [][]byte) error {
		return ReportFork(s, string(args[0]), args[1], args[2])
	}},
	FuncForks: {args: 3, read: paged(Forks)},
}

// Invoke runs one function of the contract. A refusal is an *[Error]; any other error comes from the state. After an
// error the caller must drop what the function wrote.
func Invoke(s State, name string, args [][]byte) ([]byte, error) {
	f, known := functions[name]
	if !known {
		return nil, refuse(Syntax, "no function %.80q", name)
	}
	if len(args) != f.args {
		return nil, refuse(Syntax, "%s takes %d arguments, not %d", name, f.args, len(args))
	}
	if f.write != nil {
		return nil, f.write(s, args)
	}
	return f.read(s, args)
}

// ChangesState tells whether a function may change the state. The others are to be asked, never submitted: a ledger
// would order and keep a transaction that says nothing.
func ChangesState(name string) bool { return functions[name].write != nil }

// paged calls a function whose arguments are what to list, where to go on from, and the limit of the page.
func paged[T any](list func(r Reader, what, from string, limit uint64) (T, error)) func(Reader, [][]byte) ([]byte, error) {
	return func(r Reader, args [][]byte) ([]byte, error) {
		limit, err := parseNumber(args[2])
		if err != nil {
			return nil, err
		}
		return answer(list(r, string(args[0]), string(args[1]), limit))
	}
}

// answer renders what a function returned.
func answer[T any](v T, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return canonical(v)
}

// parseNumber accepts exactly the text that strconv.FormatUint gives.
func parseNumber(arg []byte) (uint64, error) {
	text := string(arg[:min(len(arg), 21)])
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, refuse(Syntax, "%q is not a number", text)
	}
	return n, nil
}
