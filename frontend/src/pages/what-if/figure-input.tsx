import { NumberInput, Slider, Stack, Text } from '@mantine/core';
import type { CountryCode } from '../../api/types';
import { separators } from '../../format/locale';

/** A figure that can be typed exactly or moved with a slider. An empty input means that the figure is not reported. */
export function FigureInput(props: {
    label: string;
    value: string;
    min: number;
    max: number;
    step: number;
    /** Number of decimal places that can be typed. */
    decimals?: number;
    /** The currency of an amount. */
    unit?: string;
    country: CountryCode;
    placeholder?: string;
    error?: string | undefined;
    /** The text of a value for screen readers and on the slider. */
    format: (value: number) => string;
    onChange: (value: string) => void;
}) {
    const { label, value, min, max, step, format } = props;
    return (
        <Stack gap={6}>
            <NumberInput
                label={label}
                value={value}
                onValueChange={(values) => props.onChange(values.value)}
                {...separators(props.country)}
                decimalScale={props.decimals ?? 0}
                allowNegative={false}
                hideControls
                placeholder={props.placeholder}
                error={props.error}
                inputMode="decimal"
                rightSection={
                    props.unit && (
                        <Text size="xs" c="dimmed" pr="sm">
                            {props.unit}
                        </Text>
                    )
                }
                rightSectionWidth={56}
            />
            <Slider
                size="sm"
                min={min}
                max={max}
                step={step}
                value={Math.min(max, Math.max(min, Number(value)))}
                label={format}
                thumbLabel={label}
                thumbProps={{ 'aria-valuetext': format(Number(value)) }}
                onChange={(moved) => props.onChange(String(moved))}
            />
        </Stack>
    );
}
