package rill;

import java.util.Iterator;
import java.util.NoSuchElementException;

/** Pieces of a stream in order: for (Piece piece : pieces) … */
public abstract class Pieces implements Iterable<Piece>, AutoCloseable {
    /** Waits for the next one; null: that was all. */
    public abstract Piece next();

    @Override
    public abstract void close();

    @Override
    public Iterator<Piece> iterator() {
        return new Iterator<>() {
            private Piece ahead;

            @Override
            public boolean hasNext() {
                if (ahead == null)
                    ahead = Pieces.this.next();
                return ahead != null;
            }

            @Override
            public Piece next() {
                if (!hasNext())
                    throw new NoSuchElementException();
                Piece piece = ahead;
                ahead = null;
                return piece;
            }
        };
    }
}
