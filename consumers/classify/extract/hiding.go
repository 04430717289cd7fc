package extract

// hiding tracks the open elements of the names that can be hidden, with everything within them.
type hiding struct {
	open int
	from int // the number of the outermost one that is hidden, counted from 1, or 0
}

func (h *hiding) begin(hides bool) {
	h.open++
	if hides {
		h.hide()
	}
}

// hide hides the innermost open element.
func (h *hiding) hide() {
	if h.from == 0 {
		h.from = h.open
	}
}

func (h *hiding) end() {
	if h.open == h.from {
		h.from = 0
	}
	h.open = max(0, h.open-1)
}

func (h *hiding) hidden() bool { return h.from > 0 }
