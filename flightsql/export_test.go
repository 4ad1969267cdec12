package flightsql

// Held counts what the server keeps for clients: sessions, tickets, prepared
// statements and streams under way.
func (s *Server) Held() (n struct{ Sessions, Tickets, Prepared, Streams int }) {
	svc := s.service
	n.Sessions, n.Tickets, n.Prepared = svc.sessions.len(), svc.tickets.len(), svc.prepared.len()
	svc.running.mu.Lock()
	defer svc.running.mu.Unlock()
	n.Streams = len(svc.running.byID)
	return n
}

// KeepsState is keepsState.
var KeepsState = keepsState

// ReadsOnly is readsOnly.
var ReadsOnly = readsOnly
