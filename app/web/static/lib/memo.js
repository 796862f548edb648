//@ts-check
import { Component, h } from "../vendor/preact.js";

/**
 * A component that is drawn again only when one of the named properties changes.
 * @param {(props: any) => any} view
 * @param {string[]} names
 */
export function memo(view, names) {
  return class extends Component {
    /** @override @param {any} next */
    shouldComponentUpdate(next) {
      const before = /** @type {any} */ (this.props);
      return names.some((name) => next[name] !== before[name]);
    }

    /** @override */
    render() {
      return h(/** @type {any} */ (view), /** @type {any} */ (this.props));
    }
  };
}
