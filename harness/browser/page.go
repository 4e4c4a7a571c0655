package browser

// The closed model: a page is one document, then its resources over all of the browser's connections,
// then a pause in which its user reads it.

// partDone moves the page on by one answer, or by one request that was given up.
func (b *browser) partDone(document bool) {
	a := b.agent
	if a.cfg.Load.Model != Closed || b.visit != nil || a.ended {
		return
	}
	if document {
		b.loading = a.cfg.Load.Page.Resources
		for i := range b.loading {
			x := a.newExchange(a.url(uint64(b.who.index)<<32 | uint64(b.pages)<<12 | uint64(i+1)))
			x.part = true
			x.intended, x.scheduled = a.loop.Now(), true
			b.request(x, i%len(b.conns))
		}
	} else {
		b.loading--
	}
	if b.loading == 0 && !b.leaving {
		think := a.draws.between(saltThink, uint64(b.who.index)<<32|uint64(b.pages), a.cfg.Load.Page.Think)
		if think == 0 {
			b.nextPage()
			return
		}
		a.loop.Schedule(&b.timer, a.loop.Now()+think)
	}
}

// nextPage asks for the next document.
func (b *browser) nextPage() {
	a := b.agent
	if a.cfg.Load.Model != Closed {
		return
	}
	x := a.newExchange(a.url(uint64(b.who.index)<<32 | uint64(b.pages)<<12))
	b.pages++
	x.document = true
	x.intended, x.scheduled = a.loop.Now(), true
	b.request(x, 0)
}
