package rill;

import rill.v1.EventOuterClass.Event;
import rill.v1.EventOuterClass.Sample;

/**
 * What a node told: an event of a kind, or with kind "sample" a sample; and how
 * many events were lost since the last one was heard.
 */
public record Told(String kind, Event event, Sample sample, long lost) {
}
